import { createRouter, createWebHistory, type Router } from 'vue-router'
import { useSession } from '@/stores/session'
import OverviewView from '@/views/OverviewView.vue'
import LoginView from '@/views/LoginView.vue'

export function createAppRouter(): Router {
  const router = createRouter({
    history: createWebHistory(),
    routes: [
      { path: '/login', name: 'login', component: LoginView, meta: { open: true } },
      { path: '/', name: 'overview', component: OverviewView },
      { path: '/sites/:id(\\d+)', name: 'site', component: () => import('@/views/SiteView.vue') },
      { path: '/alerts/:id(\\d+)?', name: 'alerts', component: () => import('@/views/AlertsView.vue') },
      { path: '/rectifications', name: 'rectifications', component: () => import('@/views/RectificationsView.vue') },
      { path: '/rectifications/:id(\\d+)', name: 'rectification', component: () => import('@/views/RectificationView.vue') },
      { path: '/reports/:id(\\d+)?', name: 'reports', component: () => import('@/views/ReportsView.vue') },
      { path: '/inspections', name: 'inspections', component: () => import('@/views/InspectionsView.vue') },
      { path: '/inspections/:id(\\d+)', name: 'inspection', component: () => import('@/views/InspectionView.vue') },
      { path: '/devices/:id(\\d+)', name: 'history', component: () => import('@/views/HistoryView.vue') },
      { path: '/cameras/:id(\\d+)', name: 'camera', component: () => import('@/views/CameraView.vue') },
      { path: '/administration/:part?', name: 'administration', component: () => import('@/views/AdministrationView.vue') },
      { path: '/account', name: 'account', component: () => import('@/views/AccountView.vue') },
      { path: '/wall', name: 'wall', component: () => import('@/views/WallView.vue') },
      { path: '/system', name: 'system', component: () => import('@/views/SystemView.vue') },
      { path: '/:rest(.*)*', name: 'missing', component: () => import('@/views/MissingView.vue'), meta: { open: true } },
    ],
  })
  router.beforeEach(async (to) => {
    const session = useSession()
    if (!session.asked) {
      try {
        await session.restore()
      } catch {
        // The server cannot be asked now: the log-in says so itself when it is tried, the next move asks again.
      }
    }
    if (!session.loggedIn && !to.meta.open) {
      return { name: 'login', query: to.fullPath === '/' ? {} : { next: to.fullPath } }
    }
    if (session.loggedIn && to.name === 'login') return { name: 'overview' }
    return true
  })
  return router
}
