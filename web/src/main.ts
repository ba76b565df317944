import 'element-plus/theme-chalk/base.css'
import 'element-plus/theme-chalk/dark/css-vars.css'
import 'element-plus/theme-chalk/el-button.css'
import 'element-plus/theme-chalk/el-input.css'
import 'element-plus/theme-chalk/el-select.css'
import 'element-plus/theme-chalk/el-option.css'
import 'element-plus/theme-chalk/el-popper.css'
import 'element-plus/theme-chalk/el-scrollbar.css'
import 'element-plus/theme-chalk/el-tag.css'
import 'element-plus/theme-chalk/el-drawer.css'
import 'element-plus/theme-chalk/el-overlay.css'
import 'element-plus/theme-chalk/el-segmented.css'
import 'element-plus/theme-chalk/el-switch.css'
import 'element-plus/theme-chalk/el-message.css'
import 'leaflet/dist/leaflet.css'
import '@/styles/tokens.css'
import '@/styles/base.css'
import '@/styles/element.css'
import '@/styles/map.css'

import { createPinia } from 'pinia'
import { ElMessage } from 'element-plus'
import { createApp } from 'vue'
import { whenServerDate, whenUnauthorised } from '@/api/client'
import App from '@/App.vue'
import { currentLanguage, i18n, setLanguage } from '@/i18n'
import { createAppRouter } from '@/router'
import { keepShell, recoverMissing } from '@/shell/worker'
import { useClock } from '@/stores/clock'
import { useLive } from '@/stores/live'
import { useSession } from '@/stores/session'

const app = createApp(App)
app.use(createPinia())
app.use(i18n)
setLanguage(currentLanguage(), false)

const router = createAppRouter()
app.use(router)
recoverMissing(router, () => void ElMessage.error(i18n.global.t('shell.missing')))

const clock = useClock()
clock.start()
whenServerDate(clock.fromHeader)

whenUnauthorised(() => {
  useLive().stop()
  useSession().forget()
  const here = router.currentRoute.value
  if (here.name !== 'login') void router.push({ name: 'login', query: { next: here.fullPath } })
})

app.mount('#app')
void keepShell()
